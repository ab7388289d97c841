-- Works out what the session's birth record and limits will be.
-- Apply. HSET comes first: if a full server refuses it, nothing has changed. (It refuses nothing after a
-- script's first write.) An unbind that sets no field, which is a logout, works on a full server too.
if limits then
  own = (limits[1] > 0 or limits[2] > 0) and digits(limits[1]) .. digits(limits[2]) or false
end
if finish == 'unbind' then own = false end
-- Returns the birth record for this time of creation, with its own absolute limit or the given one.
local function born(created)
  local limit = own and tonumber(string.sub(own, 14, 26)) or 0
  if limit == 0 then limit = absolute end
  return string.sub(birth, 1, 9) .. digits(created) .. digits(limit > 0 and created + limit or 0)
end
if finish == 'bind' or finish == 'unbind' then
  birth = born(now)
elseif limits then
  birth = born(created_of(birth))
end
idle = idle_of(own, idle)

