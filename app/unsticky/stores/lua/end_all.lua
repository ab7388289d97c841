-- KEYS: a user's index. ARGV: session prefix, name to keep or '', stamp or '', absolute (0: none).
-- Returns the names that were ended.
local index, prefix, keep, stamp = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if stamp ~= '' then
  -- First, because a full server refuses it: then nothing was ended, and the caller is told.
  local least = redis.call('HGET', index, '\0v')
  if not least or is_below(least, stamp) then redis.call('HSET', index, '\0v', stamp) end
  if tonumber(ARGV[4]) > 0 then redis.call('PEXPIRE', index, ARGV[4]) end
end
local ended = {}
for _, name in ipairs(redis.call('HKEYS', index)) do
  if string.sub(name, 1, 1) ~= '\0' and name ~= keep then
    -- What is unreadable there must not keep the others alive.
    if redis.pcall('HEXISTS', prefix .. name, '\0m') ~= 0 then
      bury(prefix .. name, 'revoked')
      ended[#ended + 1] = name
    end
    redis.call('HDEL', index, name)
  end
end
return ended
