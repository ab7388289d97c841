-- Writes fields, and packs answers as text.

-- Calls a command as often as its values need.
local function in_parts(command, where, values)
  for first = 1, #values, CHUNK do
    redis.call(command, where, unpack(values, first, math.min(first + CHUNK - 1, #values)))
  end
end

-- Returns an answer as text: whether it slid, birth record, own limits; ended sessions; results; user.
-- Fields that were taken have their lengths, because their bytes are the application's.
local function packed(answer)
  local results = {}
  for i = 1, #answer[4] do
    local result = answer[4][i]
    if type(result) == 'table' then
      local parts = {}
      for j = 1, #result do parts[j] = #result[j] .. ':' .. result[j] end
      result = '(' .. table.concat(parts) .. ')'
    end
    results[i] = result
  end
  return (answer[2] == 1 and '1' or '0') .. answer[3] .. answer[6] .. ';'
    .. table.concat(answer[5], ',') .. ';' .. table.concat(results, ',') .. ';' .. answer[7]
end

local function unpacked(text)
  local results, ended = {}, {}
  local own, names, at = string.match(text, '^(%d*);([^;]*);()', 37)
  for name in string.gmatch(names, '[^,]+') do ended[#ended + 1] = name end
  while string.sub(text, at, at) ~= ';' do
    local result, after = string.match(text, '^(-?%d+),?()', at)
    if not result then
      result, after = {}, at + 1
      while string.sub(text, after, after) ~= ')' do
        local size, from = string.match(text, '^(%d+):()', after)
        after = from + size
        result[#result + 1] = string.sub(text, from, after - 1)
      end
      after = string.match(text, '^%),?()', after)
    end
    results[#results + 1], at = result, after
  end
  local slid, birth = tonumber(string.sub(text, 1, 1)), string.sub(text, 2, 36)
  return {0, slid, birth, results, ended, own, string.sub(text, at + 1)}
end
