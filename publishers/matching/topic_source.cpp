#include "publishers/matching/topic_source.hpp"

#include "bus/base/assert.hpp"

namespace millrace::matching {

TopicSource::TopicSource(Subscriber& subscriber) : subscriber_(subscriber) {
  MILLRACE_ASSERT(subscriber_.follower() != nullptr, "orders are read at level recorded or synced");
}

std::optional<SourcedOrder> TopicSource::next() {
  std::optional<SourcedOrder> order;
  const auto take = [&](const schemas::OrderCommand& command, const Event& event) {
    order = {&command, {InputNumber(event.offset->value()), event.record_time}, event.offset};
  };
  // Events that fail their verifier are polled, too, but not handed out.
  while (subscriber_.poll<schemas::OrderCommand>(take, 1) > 0 && !order) {
  }
  return order;
}

bool TopicSource::at_end() const {
  const auto freshness = subscriber_.follower()->freshness();
  return freshness.next >= freshness.synced_end;
}

}  // namespace millrace::matching
