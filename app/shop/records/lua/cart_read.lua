-- KEYS: cart. Returns sku, quantity, sku, quantity …
-- The first call changes nothing, and is a write: a server that is no longer the primary refuses it
-- here, where a plain read would answer from the past.
redis.call('HDEL', KEYS[1], '')
return redis.call('HGETALL', KEYS[1])
