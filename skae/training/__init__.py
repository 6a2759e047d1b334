"""Training of modules: the net, selection of the best epoch, partial fits, devices."""
