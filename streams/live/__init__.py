"""Role `live`: network totals that follow the fleet from second to second."""
