#include "publishers/matching/snapshots.hpp"

#include <memory>
#include <utility>

#include "bus/base/log.hpp"

namespace millrace::matching {

Snapshots::~Snapshots() {
  if (job_.valid()) job_.wait();
}

void Snapshots::collect() {
  if (!job_.valid() || job_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return;
  if (const auto status = job_.get()) {
    ++written_;
    failure_.reset();
  } else {
    failure_ = status.error();
    log().warn("no snapshot was written: {}", failure_->message);
  }
}

bool Snapshots::due(Offset at, MonotonicTime now) {
  if (!taken_) taken_ = now;
  return at > last_ && (at - last_ >= policy_.every_orders || now - *taken_ >= policy_.every);
}

void Snapshots::do_work(MonotonicTime now) {
  if (job_.valid()) return collect();
  if (waiting_) {
    if (!engine_.outlet.synced(waiting_->outputs)) return;
    // Encoded aside, too: its checksum and the copy are not the loop's.
    auto snapshot = std::make_shared<const Snapshot>(*std::exchange(waiting_, std::nullopt));
    job_ = run_([this, snapshot] { return store_.write(snapshot->input.offset, encode(*snapshot)); });
    return;
  }
  // Until then it is not known whether this engine goes on where the logs end.
  if (engine_.outlet.making_again()) return;
  const auto position = engine_.source.position();
  if (!due(position.offset, now)) return;
  StateWriter state;
  engine_.venue.save(state);
  waiting_ = {position, engine_.outlet.made(), state.take()};
  last_ = position.offset;
  taken_ = now;
}

}  // namespace millrace::matching
