-- KEYS: account. Returns {hash, stamp, pending}, nil where there is none.
return redis.call('HMGET', KEYS[1], 'password', 'stamp', 'revoke_pending')
