"""Everything that is changed is put back: the journal, its steps, who watches over it."""
