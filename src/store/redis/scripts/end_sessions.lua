local ended = 0
for i = 2, #ARGV do
  ended = ended + end_session(ARGV[i])
end
return ended
