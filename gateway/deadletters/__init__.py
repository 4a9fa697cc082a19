"""`gateway deadletters`: lists, shows, corrects and replays dead letters."""
