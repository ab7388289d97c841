-- Writes the changes and the limits. `placing`: the session is moved or bound.
local slid = 0
if creating then
  local stands, _, late = redis.call('EXISTS', key) == 1, user_of(key)
  redis.call('HSET', key, '\0m', birth)
  if stands then
    -- A session past its limits is here: none of its data may come back.
    redis.call('DEL', key, beside(key, 'r', name_in(key)))
    if late then redis.call('HDEL', beside(key, 'u', late), name_in(key)) end
    redis.call('HSET', key, '\0m', birth)
  end
  if own then redis.call('HSET', key, '\0i', own) end
  in_parts('HSET', key, sets)
  redis.call('PEXPIRE', key, ttl_for(math.min(unused, idle), birth, now))
else
  if finish == 'unbind' and #sets == 0 then redis.call('HDEL', key, '\0u', '\0n', '\0l') end
  if placing or limits then
    redis.call('HSET', key, '\0m', birth, '\0s', digits(now))
    if own then redis.call('HSET', key, '\0i', own) else redis.call('HDEL', key, '\0i') end
  end
  in_parts('HSET', key, sets)
  in_parts('HDEL', key, deletes)
end
-- A move, a bind or new limits always slide, and show that the session is in use.
local shown = placing or limits
if placing or not creating then
  slid = slide(key, birth, not shown and seen, now, idle, shown and idle or unused)
end
