"""What larger datasets would take: unit costs that were measured here, replayed over more machines than there are."""
