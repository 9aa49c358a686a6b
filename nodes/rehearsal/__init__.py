"""What nodes prove before a long run: the heavy side of `Node.rehearse`, imported when a rehearsal runs."""
