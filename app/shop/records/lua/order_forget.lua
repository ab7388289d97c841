-- Removes just these orders: one that was settled meanwhile stays.
-- KEYS: orders, order ids by time. ARGV: order ids.
redis.call('HDEL', KEYS[1], unpack(ARGV))
redis.call('ZREM', KEYS[2], unpack(ARGV))
return 1
