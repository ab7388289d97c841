-- KEYS: a user's index [, any free key: write to it if there is nothing to end, because the caller waits
-- until replicas have what this call wrote]. ARGV: session prefix, name to keep or '', stamp or '', absolute
-- (0: none), '1' to delete the index. Returns the names of the ended sessions.
include 'session'
include 'keys'
local index, prefix, keep, stamp = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local now, absolute = now_ms(), tonumber(ARGV[4])
if stamp ~= '' then
  local had = redis.call('PTTL', index)
  -- First, because a full server refuses it: then nothing was ended, and the caller gets the error.
  local least = redis.call('HGET', index, '\0v')
  if not least or is_below(least, stamp) then redis.call('HSET', index, '\0v', stamp) end
  keep_index(index, had, absolute > 0 and now + absolute or 0, now)
end
local ended = {}
for _, name in ipairs(redis.call('HKEYS', index)) do
  if string.sub(name, 1, 1) ~= '\0' and name ~= keep then
    -- An unreadable session must not keep the others alive.
    if redis.pcall('HEXISTS', prefix .. name, '\0m') ~= 0 then
      bury(prefix .. name, 'revoked')
      ended[#ended + 1] = name
    end
    redis.call('HDEL', index, name)
  end
end
if ARGV[5] == '1' then redis.call('DEL', index) end
if KEYS[2] and #ended == 0 then
  redis.call('SET', KEYS[2], '1', 'PX', 1000)
  redis.call('DEL', KEYS[2])
end
return ended
