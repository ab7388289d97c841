-- KEYS: account. ARGV: the version before which no session lives any more.
if redis.call('HGET', KEYS[1], 'stamp') == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'revoke_pending')
end
return 0
