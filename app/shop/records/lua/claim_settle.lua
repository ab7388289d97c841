-- KEYS: claim. ARGV: how long it is still kept (ms).
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
