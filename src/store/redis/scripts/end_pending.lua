local ended = 0
for i = 2, #ARGV do
  ended = ended + end_pending(ARGV[i])
end
return ended
