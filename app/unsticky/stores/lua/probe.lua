-- KEYS: any free key. Writes as a request would, and leaves nothing.
redis.call('SET', KEYS[1], '1', 'PX', 1000)
redis.call('DEL', KEYS[1])
return 0
