"""The edge of the shop: what all requests and answers have in common, and the JSON API."""
