-- Gives back what was used until a moment, if that has not passed, less what may have leaked back since: give_back() of gcra.rs.
local at, since = 2, math.max(now - tonumber(ARGV[1]), 0)
for _, key in ipairs(KEYS) do
  local mark, count = ARGV[at], tonumber(ARGV[at + 1])
  if redis.call('HGET', key, 'm') == mark then
    for place = 1, count do
      local cost, taken = tonumber(ARGV[at + 2 * place]), tonumber(ARGV[at + 2 * place + 1])
      if now < taken then
        local name = tostring(place)
        local kept = tonumber(redis.call('HGET', key, name) or '') or 0
        redis.call('HSET', key, name, string.format('%.0f', math.max(kept - math.max(cost - since, 0), 0)))
      end
    end
  end
  at = at + 2 + 2 * count
end
return {}
