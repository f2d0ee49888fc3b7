
#include "bus/base/idle.hpp"
#include "bus/bus.hpp"
#include "tools/torturer/stamp.hpp"
#include "tools/torturer/worker.hpp"

namespace millrace::torture {
namespace {

constexpr std::chrono::milliseconds wait{100};
constexpr std::uint64_t burst = 256;  // events between two looks at clock and watermarks

// The core may be dead, and the one before in this place not yet known to be.
template <class Attempt>
auto patiently(BackOffIdle& idle, Attempt&& attempt) -> decltype(attempt()) {
  for (;;) {
    auto result = attempt();
    if (result || told_to_end()) return result;
    const ErrorCode code = result.error().code;
    if (code != ErrorCode::timed_out && code != ErrorCode::disconnected && code != ErrorCode::in_use) return result;
    idle.idle(0);
  }
}

class Publishing {
 public:
  Publishing(const WorkerOptions& options, Journal& journal, Publisher& publisher)
      : options_(options),
        journal_(journal),
        publisher_(publisher),
        base_(publisher.next_sequence()),
        stalls_(journal) {}

  [[nodiscard]] Status run() {
    journal_.add({Kind::attached, options_.slot, options_.life, base_.value(), 0, publisher_.epoch().value(), 0, 0});
    MILLRACE_TRY(journal_.flush());
    const MonotonicTime began = system_clock().monotonic();
    BackOffIdle idle;
    while (!told_to_end()) {
      const MonotonicTime now = system_clock().monotonic();
      const std::uint64_t due = allowed(now - began);
      const std::uint64_t before = number_;
      PublishStatus status = PublishStatus::ok;
      while (status == PublishStatus::ok && number_ < due && number_ - before < burst) status = publish_one();
      if (status == PublishStatus::closed) return fail(publisher_.error());
      if (status == PublishStatus::disconnected) stalls_.disconnected();
      // Nothing due is no stall.
      if (number_ > before || number_ >= due) stalls_.progress(system_clock().monotonic());
      if (number_ == before) publisher_.idle();
      MILLRACE_TRY(note_acknowledged());
      idle.idle(number_ - before);
    }
    while (acknowledged_.next() < publisher_.next_sequence()) {
      (void)publisher_.await(Sequence(publisher_.next_sequence().value() - 1), Ack::synced(), {wait, 1});
      MILLRACE_TRY(note_acknowledged());
    }
    return {};
  }

 private:
  [[nodiscard]] std::uint64_t allowed(std::chrono::nanoseconds age) const {
    if (options_.rate == 0) return UINT64_MAX;
    return static_cast<std::uint64_t>(static_cast<double>(age.count()) * 1e-9 * static_cast<double>(options_.rate));
  }

  [[nodiscard]] PublishStatus publish_one() {
    const Published published = publisher_.publish<schemas::TradeEvent>([&](schemas::TradeEvent& trade) {
      write_stamp({options_.slot, options_.life, number_, publisher_.next_sequence().value()}, publisher_.id(), trade);
    });
    if (published) ++number_;
    return published.status;
  }

  [[nodiscard]] Status note_acknowledged() {
    const Sequence synced = publisher_.synced_sequence();
    if (synced >= base_ && synced > acknowledged_ &&
        publisher_.acknowledged(synced, Ack::synced()) == AckStatus::acknowledged) {
      acknowledged_ = synced;
      journal_.add({Kind::acknowledged, options_.slot, options_.life, base_.value(), synced.value(), 0, 0, 0});
    }
    return journal_.flush();
  }

  const WorkerOptions& options_;
  Journal& journal_;
  Publisher& publisher_;
  Sequence base_;
  StallWatch stalls_;
  std::uint64_t number_ = 0;
  Sequence acknowledged_{base_.value() - 1};
};

}  // namespace

Status run_publisher(const WorkerOptions& options) {
  auto journal = Journal::open(options.journal);
  if (!journal) return fail(journal.error());
  const std::string name = "publisher" + std::to_string(options.slot);
  BackOffIdle idle;
  auto bus = patiently(idle, [&] { return Bus::connect({.name = name, .socket = options.socket}); });
  if (!bus) return fail(bus.error());
  auto publisher = patiently(idle, [&] { return (*bus)->publisher(topic_name, name); });
  if (!publisher) return fail(publisher.error());
  MILLRACE_TRY(Publishing(options, *journal, *publisher).run());
  journal->add({Kind::finished, options.slot, options.life, 0, 0, 0, 0, 0});
  return journal->flush();
}

}  // namespace millrace::torture
