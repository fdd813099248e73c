"""The machine as a whole: processes, namespaces, sysctls, memory, rights."""
