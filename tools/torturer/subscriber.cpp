#include <map>

#include "bus/base/idle.hpp"
#include "bus/bus.hpp"
#include "tools/torturer/stamp.hpp"
#include "tools/torturer/worker.hpp"

namespace millrace::torture {
namespace {

constexpr std::size_t poll_limit = 4096;

Result<Level> level_of(const std::string& name) {
  for (const Level level : {Level::live, Level::recorded, Level::synced}) {
    if (name == to_string(level)) return level;
  }
  return fail(ErrorCode::invalid_argument, "no level '" + name + "'");
}

class Reading {
 public:
  Reading(const WorkerOptions& options, Journal& journal, Level level)
      : options_(options), journal_(journal), level_(level), resume_(Resume::from(journal.found())), stalls_(journal) {}

  [[nodiscard]] Status run() {
    auto bus = patient_connect();
    if (!bus) return fail(bus.error());
    journal_.add({Kind::started, 0, options_.life, 0, 0, 0, 0, 0});
    auto subscriber = patient_subscribe(**bus);
    if (!subscriber) return fail(subscriber.error());
    BackOffIdle idle;
    for (;;) {
      const bool ending = told_to_end();  // before the poll, which then finds all there is
      const std::size_t count = subscriber->poll<schemas::TradeEvent>(
          [this](const schemas::TradeEvent& trade, const Event& event) { see(trade, event); }, poll_limit);
      if (count > 0) stalls_.progress(system_clock().monotonic());
      MILLRACE_TRY(write_down(subscriber->follower()));
      if (subscriber->invalid() > 0) return fail(ErrorCode::corrupt, "an event failed its verifier");
      if (ending && count == 0) {
        const auto done = has_all();
        if (!done) return fail(done.error());
        if (*done) return {};
      }
      idle.idle(count);
    }
  }

 private:
  [[nodiscard]] Result<std::unique_ptr<Bus>> patient_connect() {
    BackOffIdle idle;
    for (;;) {
      auto bus = Bus::connect({.name = "subscriber", .socket = options_.socket});
      if (bus || bus.error().code != ErrorCode::timed_out) return bus;
      idle.idle(0);
    }
  }

  [[nodiscard]] Result<Subscriber> patient_subscribe(Bus& bus) {
    BackOffIdle idle;
    const SubscribeOptions wanted{level_, start(), [this](const Gap& gap) { miss(gap); }};
    for (;;) {
      auto subscriber = bus.subscribe(topic_name, wanted);
      if (subscriber) return subscriber;
      const ErrorCode code = subscriber.error().code;
      if (code != ErrorCode::timed_out && code != ErrorCode::disconnected) return subscriber;
      idle.idle(0);
    }
  }

  [[nodiscard]] Start start() const {
    if (level_ == Level::live) return StartLatest{};
    if (!resume_.known) return StartEarliest{};
    return Position{resume_.log_id, Run(resume_.run), Offset(resume_.next)};
  }

  void see(const schemas::TradeEvent& trade, const Event& event) {
    const auto stamp = read_stamp(trade, event.publisher, event.sequence());
    const std::optional<std::uint64_t> offset = event.offset ? std::optional(event.offset->value()) : std::nullopt;
    if (!stamp) {
      end_run();
      return journal_.add({Kind::damaged, 0, 0, 0, event.sequence().value(), offset.value_or(0), 1, 0});
    }
    slots_[event.publisher] = stamp->slot;
    if (const auto run = runs_.add({stamp->slot, stamp->life, stamp->base(), stamp->sequence, offset})) {
      journal_.add(*run);
    }
    if (offset) resume_.next = *offset + 1;
  }

  // What a follower is not told by its offsets: the log never had these.
  void miss(const Gap& gap) {
    end_run();
    journal_.add({Kind::gap, slots_[gap.publisher], static_cast<std::uint64_t>(gap.reason), 0, gap.from.value(), 0,
                  gap.to.value() + 1 - gap.from.value(), 0});
  }

  void end_run() {
    if (const auto run = runs_.take()) journal_.add(*run);
  }

  [[nodiscard]] Status write_down(Follower* follower) {
    end_run();
    if (follower != nullptr) {
      if (follower->error()) return fail(*follower->error());
      const Position position = follower->position();
      if (!resume_.known || resume_.run != position.run.value()) {
        resume_.log_id = position.log_id;
        resume_.run = position.run.value();
        resume_.known = true;
        journal_.add(resume_.record());
      }
    }
    return journal_.flush();
  }

  // Nobody publishes any more: a live reader has all there is.
  [[nodiscard]] Result<bool> has_all() const {
    if (level_ == Level::live) return true;
    const auto end = read_end(options_.end_file);
    if (!end) return fail(end.error());
    return resume_.next >= *end;
  }

  const WorkerOptions& options_;
  Journal& journal_;
  Level level_;
  Resume resume_;
  StallWatch stalls_;
  Runs runs_;
  std::map<PublisherId, std::uint32_t> slots_;
};

}  // namespace

Status run_subscriber(const WorkerOptions& options) {
  const auto level = level_of(options.level);
  if (!level) return fail(level.error());
  auto journal = Journal::open(options.journal);
  if (!journal) return fail(journal.error());
  MILLRACE_TRY(Reading(options, *journal, *level).run());
  journal->add({Kind::finished, 0, options.life, 0, 0, 0, 0, 0});
  return journal->flush();
}

}  // namespace millrace::torture
