-- KEYS: the key's record. ARGV: how long it is kept (ms), fingerprint, status, media type, location, body.
-- The first answer stays: it is what another request may have been told already.
if redis.call('HEXISTS', KEYS[1], 'status') == 1 then return 0 end
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[2], 'status', ARGV[3], 'type', ARGV[4],
  'location', ARGV[5], 'body', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
