// How long one step of a log's recorder takes while segments are synced, rolled, prepared and deleted: with all but the
// syncs on the recorder's thread (housekeeping here), or in tickets on two others (elsewhere), as in the core.
//   millrace-bench-steps [here|elsewhere] [MB/s] [SECONDS]
// MILLRACE_BENCH_FOLDER chooses the disk; default is the temporary folder.
#include <concurrentqueue/blockingconcurrentqueue.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "bench/folder.hpp"
#include "bench/histogram.hpp"
#include "bus/base/assert.hpp"
#include "bus/base/idle.hpp"
#include "bus/base/ids.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/writer.hpp"

namespace millrace::wal {
namespace {

using namespace std::chrono_literals;

constexpr PublisherId publisher(1);
constexpr std::uint32_t batch_events = 292;  // of 224 bytes: a page
constexpr std::uint64_t kept_bytes = 4 * limits::segment_size;

// A thread that runs one ticket at a time.
template <class Ticket>
class Runner {
 public:
  void give(Ticket ticket) {
    busy_ = true;
    to_run_.enqueue(std::move(ticket));
  }
  [[nodiscard]] bool busy() const { return busy_; }
  // Hands over what has been run.
  void collect(const std::function<void(Ticket&, const Status&)>& take) {
    std::pair<Ticket, Status> done;
    if (!done_.try_dequeue(done)) return;
    busy_ = false;
    take(done.first, done.second);
  }

 private:
  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      Ticket ticket;
      if (!to_run_.wait_dequeue_timed(ticket, 10ms)) continue;
      const Status status = ticket.run();
      done_.enqueue({std::move(ticket), status});
    }
  }
  moodycamel::BlockingConcurrentQueue<Ticket> to_run_;
  moodycamel::ConcurrentQueue<std::pair<Ticket, Status>> done_;
  bool busy_ = false;
  std::jthread thread_{[this](const std::stop_token& stop) { run(stop); }};
};

struct Outcome {
  bench::Histogram steps;
  std::uint64_t bytes = 0;
  std::uint64_t rolls = 0;
  std::int64_t refused_max = 0;  // longest time that no batch was taken, ns
};

Outcome measure(const std::string& folder, bool elsewhere, double bytes_per_ns, std::chrono::nanoseconds length) {
  auto writer = Writer::open(posix_file_system(), folder, {}, system_clock().wall());
  MILLRACE_ASSERT(writer, "the log opens");
  MILLRACE_ASSERT(writer->append_publisher({publisher, "bench", Epoch(1), {}, Sequence(0)}, WallTime{1}), "appends");
  if (elsewhere) writer->set_housekeeping(Housekeeping::elsewhere);
  std::vector<std::byte> frames(batch_events * 224);
  Runner<SyncTicket> syncs;
  Runner<PrepareTicket> preparations;
  Runner<DeleteTicket> deletions;
  Outcome outcome;
  const Clock& clock = system_clock();
  const MonotonicTime begin = clock.monotonic();
  std::optional<MonotonicTime> refused_since;
  BackOffIdle sleep;
  Offset first = writer->first_offset();
  for (MonotonicTime now = begin; now - begin < length; now = clock.monotonic()) {
    const double due = bytes_per_ns * static_cast<double>((now - begin).count());
    bool idle = true;
    if (static_cast<double>(outcome.bytes) < due) {
      const Sequence next = writer->publishers().at(0).last_sequence.next();
      const auto done = writer->append(publisher, Epoch(1), next, batch_events, frames, WallTime{now.ns});
      MILLRACE_ASSERT(done || done.error().code == ErrorCode::not_ready, "the disk works");
      if (done) {
        idle = false;
        outcome.bytes += frames.size();
        if (refused_since) outcome.refused_max = std::max(outcome.refused_max, (now - *refused_since).count());
        refused_since.reset();
      } else if (!refused_since) {
        refused_since = now;
      }
    }
    syncs.collect([&](SyncTicket& ticket, const Status& status) { writer->complete_sync(ticket, status); });
    if (writer->sync_due(now, false) && !syncs.busy()) syncs.give(writer->begin_sync());
    if (!elsewhere) {
      MILLRACE_ASSERT(writer->retain(kept_bytes), "the disk works");
      if (idle) MILLRACE_ASSERT(writer->prepare_next_segment(), "the disk works");
    } else {
      preparations.collect([&](PrepareTicket& ticket, const Status& status) {
        MILLRACE_ASSERT(writer->complete_preparation(ticket, status), "the disk works");
      });
      deletions.collect([&](DeleteTicket& ticket, const Status& status) {
        MILLRACE_ASSERT(writer->complete_deletion(ticket, status), "the disk works");
      });
      if (!preparations.busy() && !deletions.busy()) {
        if (auto deletion = writer->take_deletion(kept_bytes, WallTime{0})) {
          deletions.give(std::move(*deletion));
        } else if (auto preparation = writer->take_preparation(idle)) {
          preparations.give(std::move(*preparation));
        }
      }
    }
    MILLRACE_ASSERT(!writer->failure(), "the disk works");
    outcome.rolls += writer->first_offset() != first;
    first = writer->first_offset();
    outcome.steps.add((clock.monotonic() - now).count());
    sleep.idle(idle ? 0 : 1);
  }
  MILLRACE_ASSERT(writer->sync(), "the disk works");
  return outcome;
}

int main(int argc, char** argv) {
  const std::string where = argc > 1 ? argv[1] : "elsewhere";
  const double rate = argc > 2 ? std::atof(argv[2]) : 200;
  const double seconds = argc > 3 ? std::atof(argv[3]) : 10;
  const bench::Folder folder;
  const Outcome outcome = measure(folder.path(), where == "elsewhere", rate / 1e3,
                                  std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9)));
  const bench::Histogram& steps = outcome.steps;
  std::printf(
      "%-10s %6.0f MB/s asked %6.0f written  %4lu segments deleted  step us p50 %7.1f p99.9 %8.1f max %9.1f  "
      "no batch taken for %9.1f us at most\n",
      where.c_str(), rate, static_cast<double>(outcome.bytes) / 1e6 / seconds, outcome.rolls,
      static_cast<double>(steps.percentile(0.5)) / 1e3, static_cast<double>(steps.percentile(0.999)) / 1e3,
      static_cast<double>(steps.max()) / 1e3, static_cast<double>(outcome.refused_max) / 1e3);
  return outcome.rolls > 0 ? 0 : 1;
}

}  // namespace
}  // namespace millrace::wal

int main(int argc, char** argv) {
  return millrace::wal::main(argc, argv);
}
