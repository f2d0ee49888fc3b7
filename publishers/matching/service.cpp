#include "publishers/matching/service.hpp"

namespace millrace::matching {

std::uint64_t Service::publish_waiting() {
  const auto before = published_;
  while (waiting() > 0) {
    const auto status = outlet_.publish(venue_, venue_.outputs()[published_], cause_);
    if (status != PublishStatus::ok) {
      if (!may_try_again(status)) error_ = outlet_.error();
      break;
    }
    ++published_;
  }
  return published_ - before;
}

std::uint64_t Service::do_work(MonotonicTime now) {
  if (error_) return 0;
  std::uint64_t work = publish_waiting();
  for (std::uint64_t taken = 0; taking_ && taken < kCommandsPerStep && waiting() == 0; ++taken) {
    const auto order = source_.next();
    if (!order) {
      error_ = source_.error();
      if (!error_ && source_.at_end()) error_ = outlet_.unexplained();
      break;
    }
    cause_ = order->cause;
    published_ = 0;
    venue_.apply(*order->command, order->input);
    ++commands_;
    work += 1 + publish_waiting();
    if (snapshots_ != nullptr && waiting() == 0) snapshots_->do_work(now);
  }
  if (work == 0) {
    if (snapshots_ != nullptr && waiting() == 0 && !error_) snapshots_->do_work(now);
    source_.idle();
    outlet_.idle();
  }
  return work;
}

}  // namespace millrace::matching
