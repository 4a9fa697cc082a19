"""`gateway deadletters`: find what did not count, see why, mend it and send it again."""
