"""The machine: device, cores, processes, errors of libraries."""
