"""How families write thinking and tool calls, one file each."""
