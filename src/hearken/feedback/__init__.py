"""From the critic's words to a bounded reward: rating, reward variants, guards."""
