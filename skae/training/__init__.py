"""How a module is trained: the net, which epoch is kept, streams of chunks, devices."""
