#include "tools/torturer/intervals.hpp"

#include <algorithm>
#include <iterator>

namespace millrace::torture {

void Intervals::add(std::uint64_t from, std::uint64_t to) {
  if (from >= to) return;
  auto at = intervals_.upper_bound(from);
  if (at != intervals_.begin() && std::prev(at)->second >= from) --at;
  while (at != intervals_.end() && at->first <= to) {
    from = std::min(from, at->first);
    to = std::max(to, at->second);
    at = intervals_.erase(at);
  }
  intervals_[from] = to;
}

std::uint64_t Intervals::remove(std::uint64_t from, std::uint64_t to) {
  std::uint64_t removed = 0;
  auto at = intervals_.upper_bound(from);
  if (at != intervals_.begin()) --at;
  while (at != intervals_.end() && at->first < to) {
    const auto [begin, end] = *at;
    if (end <= from) {
      ++at;
      continue;
    }
    at = intervals_.erase(at);
    if (begin < from) intervals_[begin] = from;
    if (end > to) intervals_[to] = end;
    removed += std::min(end, to) - std::max(begin, from);
  }
  return removed;
}

std::uint64_t Intervals::count(std::uint64_t from, std::uint64_t to) const {
  std::uint64_t found = 0;
  auto at = intervals_.upper_bound(from);
  if (at != intervals_.begin()) --at;
  for (; at != intervals_.end() && at->first < to; ++at) {
    const std::uint64_t begin = std::max(at->first, from), end = std::min(at->second, to);
    if (begin < end) found += end - begin;
  }
  return found;
}

std::uint64_t Intervals::size() const {
  std::uint64_t sum = 0;
  for (const auto& [from, to] : intervals_) sum += to - from;
  return sum;
}

void Arrivals::take(std::uint64_t from, std::uint64_t count) {
  const std::uint64_t end = from + count;
  if (from > next_) missing_.add(next_, from);
  const std::uint64_t before = from < next_ ? std::min(end, next_) - from : 0;
  const std::uint64_t late = missing_.remove(from, from + before);
  reordered_ += late;
  duplicated_ += before - late;
  next_ = std::max(next_, end);
}

void Arrivals::excuse(std::uint64_t from, std::uint64_t count) {
  if (from > next_) missing_.add(next_, from);
  missing_.remove(from, from + count);
  next_ = std::max(next_, from + count);
}

void Arrivals::rewind(std::uint64_t to) {
  next_ = std::min(next_, to);
}

void Arrivals::close(std::uint64_t end) {
  if (end > next_) missing_.add(next_, end);
  next_ = std::max(next_, end);
}

}  // namespace millrace::torture
