"""Changes of this machine that can be taken back: one kind a file, each found by its file being here."""
