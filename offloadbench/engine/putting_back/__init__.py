"""Everything that is changed is put back: the journal of changes, how they are taken back, who watches over it."""
