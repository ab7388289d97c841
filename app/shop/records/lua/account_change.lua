-- KEYS: account. ARGV: the version that was checked, the new password's hash.
-- Returns 1, or 0 where another change came first.
local now = tonumber(redis.call('HGET', KEYS[1], 'stamp') or '0')
local checked = tonumber(ARGV[1])
if now == checked then
  redis.call('HSET', KEYS[1], 'password', ARGV[2], 'stamp', checked + 1, 'revoke_pending', '1')
  return 1
end
-- Sent again: each hash has a salt of its own, so this very change was the last.
if now == checked + 1 and redis.call('HGET', KEYS[1], 'password') == ARGV[2] then return 1 end
return 0
