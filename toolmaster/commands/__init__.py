"""Commands of the command line, a module each. Their heavy imports wait until they are called."""
