#include "subscribers/realtime/conflation.hpp"

#include "subscribers/realtime/gather.hpp"

namespace millrace::gateway {

void Lookahead::look(const EventBlock& block, const protocol::Filter& filter, const schemas::EventType& type,
                     std::size_t limit) {
  const std::size_t first = next_ - block.first();
  const std::size_t count = std::min({block.count() - first, limit, static_cast<std::size_t>(end_ - next_)});
  for (std::size_t i = first; i < first + count && !done(); ++i) {
    const Offset offset = next_;
    ++next_;
    const EventBlock::Entry& entry = block.entry(i);
    if (!passes(filter, entry, block.frame(i), type)) continue;
    if (const Key key = block.frame(i).key(); entry.valid && key != Key(0)) {
      newest_[key.value()] = offset;
    } else {
      keyless_.push_back(offset);
    }
    if (newest_.size() + keyless_.size() >= kept_max_) end_ = next_;
  }
}

Plan Lookahead::plan() const {
  Plan plan{end_, keyless_};
  plan.kept.reserve(keyless_.size() + newest_.size());
  for (const auto& [key, offset] : newest_) plan.kept.push_back(offset);
  std::sort(plan.kept.begin(), plan.kept.end());
  return plan;
}

}  // namespace millrace::gateway
