local hash, now = unpack(ARGV, 2)
if not pending(hash, now) then
  return false
end
return redis.call('HMGET', P .. ':p:' .. hash, 'record', 'enrolment', 'spent')
