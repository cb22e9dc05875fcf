"""One file a stage of the method: settings and files in, files and figures out."""
