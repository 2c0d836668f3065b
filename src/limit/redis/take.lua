-- Uses something of all limits of all keys, or nothing of any: take() of gcra.rs, which says more.
local at, all_fit, subjects, answer = 1, true, {}, { 0, now }
for each, key in ipairs(KEYS) do
  local mark, count = ARGV[at], tonumber(ARGV[at + 1])
  local kept = redis.call('HMGET', key, 'm', '1', '2', '3', '4')
  local is_other, latest = kept[1] ~= mark, 0
  local subject = { key = key, mark = mark, before = {}, after = {}, fits = true, changes = is_other }
  for place = 1, 4 do
    subject.before[place] = tonumber(kept[place + 1] or '') or 0
    latest = math.max(latest, subject.before[place])
  end
  for place = 1, 4 do
    local before = is_other and latest or subject.before[place]
    local after = before
    if place <= count then
      local all, cost = tonumber(ARGV[at + 2 * place]), tonumber(ARGV[at + 2 * place + 1])
      -- What was used under another limit, or before the clock was set back, counts for no more than all of this one.
      subject.changes = subject.changes or before > now + all
      before = math.min(before, now + all)
      after = math.max(before, now) + cost
      subject.fits = subject.fits and after <= now + all
    end
    subject.before[place], subject.after[place] = before, after
  end
  at = at + 2 + 2 * count
  all_fit = all_fit and subject.fits
  subjects[each] = subject
end
if all_fit then
  answer[1] = 1
end
for _, subject in ipairs(subjects) do
  local times = all_fit and subject.after or subject.before
  local latest, fields = now, { 'm', subject.mark }
  for place = 1, 4 do
    table.insert(answer, times[place])
    table.insert(fields, tostring(place))
    table.insert(fields, string.format('%.0f', times[place]))
    latest = math.max(latest, times[place])
  end
  -- A refusal writes only what it must.
  if all_fit or (subject.changes and not subject.fits) then
    redis.call('HSET', subject.key, unpack(fields))
    redis.call('PEXPIRE', subject.key, string.format('%.0f', math.ceil((latest - now) / 1000)))
  end
end
return answer
