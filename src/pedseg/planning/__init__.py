"""What a run will take: cases, hours, memory and disk, before it begins."""
