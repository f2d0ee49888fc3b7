#include "bus/daemon/disk.hpp"

#include <sys/eventfd.h>

#include <algorithm>

#include "bus/base/log.hpp"

namespace millrace::daemon {
namespace {

using namespace std::chrono_literals;

constexpr auto report_interval = 10ms;
constexpr std::uint64_t full_enough = 16 * 1024;  // bytes recorded in one round

// Never polls: its agent sleeps in the queue.
class NoIdle final : public IdleStrategy {
 public:
  void idle(std::uint64_t) override {}
};

std::unique_ptr<IdleStrategy> with_bell(std::unique_ptr<IdleStrategy> idle, int fd) {
  idle->set_bell(fd);
  return idle;
}

}  // namespace

Disk::Disk(std::vector<TopicRecorder*> recorders, const Clock& clock, std::unique_ptr<IdleStrategy> idle,
           std::optional<unsigned> cpu)
    : recorders_(std::move(recorders)),
      clock_(clock),
      bell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      reports_(recorders_.size()),
      recording_(*this),
      syncing_(*this),
      housekeeping_(*this),
      recorder_thread_("recorder", recording_, with_bell(std::move(idle), bell_.get()), cpu, clock),
      sync_thread_("sync", syncing_, std::make_unique<NoIdle>(), cpu, clock),
      housekeeping_thread_("housekeeping", housekeeping_, std::make_unique<NoIdle>(), cpu, clock) {
  for (std::size_t i = 0; i < recorders_.size(); ++i) publish_report(i);
}

void Disk::start() {
  sync_thread_.start();
  housekeeping_thread_.start();
  recorder_thread_.start();
}

void Disk::stop() {
  recorder_thread_.stop();  // drains first: finish() still needs the others
  sync_thread_.stop();
  housekeeping_thread_.stop();
}

std::optional<Admitted> Disk::take_admitted() {
  Admitted admitted{0, fail(ErrorCode::internal, "")};
  return admitted_.try_dequeue(admitted) ? std::optional(std::move(admitted)) : std::nullopt;
}

std::optional<Reopen> Disk::take_reopened() {
  Reopen reopened;
  return reopened_.try_dequeue(reopened) ? std::optional(std::move(reopened)) : std::nullopt;
}

RecorderReport Disk::report(std::size_t topic) const {
  const std::lock_guard lock(reports_mutex_);
  return reports_[topic];
}

std::optional<MonotonicTime> Disk::in_io_since() const {
  std::int64_t since = 0;
  const auto add = [&since](const std::atomic<std::int64_t>& began) {
    const std::int64_t ns = began.load(std::memory_order_relaxed);
    if (ns != 0 && (since == 0 || ns < since)) since = ns;
  };
  add(recording_since_);
  add(syncing_since_);
  if (house_awaited_.load(std::memory_order_relaxed)) add(keeping_house_since_);
  return since == 0 ? std::nullopt : std::optional(MonotonicTime{since});
}

std::uint64_t Disk::record(MonotonicTime now) {
  const WallTime wall = clock_.wall();
  std::uint64_t work = 0;
  Sync done;
  while (synced_.try_dequeue(done)) {
    recorders_[done.topic]->complete_sync(*done.ticket, done.status);
    ++work;
  }
  recording_since_.store(now.ns, std::memory_order_relaxed);
  for (Chore chore; done_.try_dequeue(chore); ++work) take_back(chore, now);
  std::uint64_t bytes = 0;
  for (TopicRecorder* recorder : recorders_) {
    const std::uint64_t before = recorder->counters().bytes;
    (void)recorder->do_work(wall);
    bytes += recorder->counters().bytes - before;
  }
  // A few events are no reason to come straight back: they would be written one by one, and on few cores the writing
  // would starve those who publish and read. Let some gather, for as long as the idle strategy sleeps.
  if (bytes >= full_enough) ++work;
  work += admit();
  work += reopen();
  for (std::size_t i = 0; i < recorders_.size(); ++i) {
    const bool awaited = recorders_[i]->awaited() || recorders_[i]->roll_waits();
    if (auto ticket = recorders_[i]->take_sync(now)) to_sync_.enqueue({i, std::move(ticket), {}, awaited});
  }
  if (now - reported_ >= report_interval) {
    reported_ = now;
    for (std::size_t i = 0; i < recorders_.size(); ++i) publish_report(i);
  }
  hand_out_chore(now, wall, work == 0 && !finishing_);
  recording_since_.store(0, std::memory_order_relaxed);
  return work;
}

std::uint64_t Disk::sync(MonotonicTime) {
  Sync sync;
  if (!to_sync_.wait_dequeue_timed(sync, 10ms)) return 0;
  syncing_since_.store(clock_.monotonic().ns, std::memory_order_relaxed);
  sync.status = sync.ticket->run();
  syncing_since_.store(0, std::memory_order_relaxed);
  const bool awaited = sync.awaited;
  synced_.enqueue(std::move(sync));
  if (awaited) (void)::eventfd_write(bell_.get(), 1);
  return 1;
}

std::uint64_t Disk::keep_house() {
  Chore chore;
  if (!to_do_.wait_dequeue_timed(chore, 10ms)) return 0;
  keeping_house_since_.store(clock_.monotonic().ns, std::memory_order_relaxed);
  chore.status = std::visit([](auto& ticket) { return ticket.run(); }, *chore.chore);
  keeping_house_since_.store(0, std::memory_order_relaxed);
  done_.enqueue(std::move(chore));
  return 1;
}

// Topics take turns, but one whose publishers would wait goes first.
void Disk::hand_out_chore(MonotonicTime now, WallTime wall, bool idle) {
  const bool awaited =
      std::any_of(recorders_.begin(), recorders_.end(), [](const auto* r) { return r->roll_waits_for_file(); });
  house_awaited_.store(awaited, std::memory_order_relaxed);
  for (std::size_t i = 0; i < 2 * recorders_.size() && !chore_out_; ++i) {
    const bool first = i < recorders_.size();
    const std::size_t topic = chores_next_++ % recorders_.size();
    if (recorders_[topic]->roll_waits_for_file() != first || (finishing_ && !first)) continue;
    auto chore = recorders_[topic]->take_housekeeping(now, wall, idle);
    if (!chore) continue;
    chore_out_ = true;
    to_do_.enqueue({topic, std::move(chore), {}});
  }
}

void Disk::take_back(const Chore& done, MonotonicTime now) {
  TopicRecorder& recorder = *recorders_[done.topic];
  chore_out_ = false;
  const std::string before = recorder.housekeeping_failure();
  recorder.complete_housekeeping(*done.chore, done.status, now);
  const std::string& failure = recorder.housekeeping_failure();
  if (failure != before && !failure.empty()) {
    log().warn("topic {}: the log's housekeeping failed and is tried again: {}", recorder.topic(), failure);
  }
}

std::uint64_t Disk::admit() {
  AdmitRequest request;
  while (requests_.try_dequeue(request)) {
    // Who asked for the stream before is dead: nothing may be said to be granted to it once another has the stream.
    std::erase_if(waiting_, [&](const Waiting& before) {
      if (before.request.topic != request.topic || before.request.stream != request.stream) return false;
      admitted_.enqueue(
          {before.request.token, fail(ErrorCode::fenced, "its process is gone, and another has the stream")});
      return true;
    });
    waiting_.push_back({std::move(request), std::nullopt});
  }
  std::uint64_t work = 0;
  std::erase_if(waiting_, [&](Waiting& waiting) {
    TopicRecorder& recorder = *recorders_[waiting.request.topic];
    if (recorder.state() == TopicRecorder::State::failed) {
      admitted_.enqueue({waiting.request.token,
                         fail(ErrorCode::io_failed, "topic '" + recorder.topic() +
                                                        "' is closed after a disk failure: " + recorder.failure())});
      return true;
    }
    if (!waiting.admission) {
      if (!recorder.drained(waiting.request.stream, waiting.request.first_page) ||
          !recorder.drained(waiting.request.name)) {
        return false;
      }
      auto admission =
          recorder.admit(waiting.request.stream, waiting.request.name, waiting.request.incarnation, clock_.wall());
      if (!admission && admission.error().code == ErrorCode::not_ready) return false;
      ++work;
      if (!admission) {
        admitted_.enqueue({waiting.request.token, fail(admission.error())});
        return true;
      }
      waiting.admission = *admission;
    }
    if (!recorder.admission_synced()) return false;
    admitted_.enqueue({waiting.request.token, *waiting.admission});
    ++work;
    return true;
  });
  return work;
}

std::uint64_t Disk::reopen() {
  std::uint64_t work = 0;
  for (Reopen request; reopens_.try_dequeue(request); ++work) {
    request.status = recorders_[request.topic]->reopen(clock_.wall());
    // What somebody was to be admitted with, and was not on the disk, is lost.
    for (Waiting& waiting : waiting_) {
      if (waiting.request.topic == request.topic) waiting.admission.reset();
    }
    reopened_.enqueue(std::move(request));
  }
  return work;
}

// On the recorder's thread, after its last step: what is committed now is recorded and synced before the core ends.
void Disk::finish() {
  const auto pending = [this] {
    return std::any_of(recorders_.begin(), recorders_.end(), [](const TopicRecorder* recorder) {
      return recorder->state() != TopicRecorder::State::failed && (recorder->unsynced() || recorder->roll_waits());
    });
  };
  finishing_ = true;
  BackOffIdle idle;
  const MonotonicTime give_up = clock_.monotonic() + 30s;
  for (;;) {
    const MonotonicTime now = clock_.monotonic();
    (void)record(now);
    std::uint64_t events = 0;
    for (TopicRecorder* recorder : recorders_) events += recorder->do_work(clock_.wall());
    for (std::size_t i = 0; i < recorders_.size(); ++i) {
      if (auto ticket = recorders_[i]->take_sync(now, TopicRecorder::Sync::now))
        to_sync_.enqueue({i, std::move(ticket), {}, false});
    }
    if ((events == 0 && !pending()) || now > give_up) return;
    idle.idle(events);
  }
}

void Disk::publish_report(std::size_t topic) {
  const TopicRecorder& recorder = *recorders_[topic];
  RecorderReport report{recorder.state(),        recorder.failure(),  recorder.housekeeping_failure(),
                        recorder.stopped(),      recorder.counters(), recorder.first_offset(),
                        recorder.overrun_edges()};
  const std::lock_guard lock(reports_mutex_);
  reports_[topic] = std::move(report);
}

}  // namespace millrace::daemon
