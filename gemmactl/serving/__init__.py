"""Operating one serving stack: what each verb does, once the command line is read. Knows no option parser and no screen."""
