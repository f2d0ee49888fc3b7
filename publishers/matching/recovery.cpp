#include "publishers/matching/recovery.hpp"

#include <string_view>
#include <utility>

namespace millrace::matching {
namespace {

// Half a hash of the log's name: short enough for a trade's id, and no two logs of one venue share it.
std::uint64_t session_of(LogId log) {
  return key_of({reinterpret_cast<const char*>(log.bytes.data()), log.bytes.size()}).value() & UINT32_MAX;
}

}  // namespace

Start start_of(const std::optional<Snapshot>& snapshot) {
  if (snapshot) return snapshot->input;
  return Offset(0);
}

Error cannot_come_back(const Error& why, const std::optional<Snapshot>& snapshot) {
  const std::string from = snapshot ? "its snapshot at order " + std::to_string(snapshot->input.offset.value())
                                    : std::string("the first order, having no snapshot that can be used");
  return {why.code, "the engine cannot come back from " + from + ": " + why.message +
                        "; restore that log, or start under another publisher's name and with an empty folder of "
                        "snapshots"};
}

Result<std::unique_ptr<Venue>> venue_again(std::vector<InstrumentConfig> instruments, LogId orders,
                                           const std::optional<Snapshot>& snapshot) {
  auto venue = Venue::open(
      {.instruments = std::move(instruments), .session = session_of(orders), .start = {}, .announce = false});
  if (venue && snapshot) {
    StateReader state(snapshot->state);
    MILLRACE_TRY((*venue)->restore(state));
  }
  return venue;
}

Result<BusOutlet::LastOnes> last_ones(wal::FileSystem& files, const std::array<OutputLog, kOutputTopics>& logs) {
  BusOutlet::LastOnes last;
  for (std::size_t i = 0; i < kOutputTopics; ++i) {
    auto one = last_recorded(files, logs[i].folder, logs[i].publisher);
    if (!one) return fail(one.error());
    last[i] = std::move(*one);
  }
  return last;
}

}  // namespace millrace::matching
