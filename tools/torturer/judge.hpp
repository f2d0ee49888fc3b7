// Judges a torture run: a pure function of the journals and of what the log holds.
//
// An event counts as acknowledged, or as seen, once it stands in a journal: what a process saw and did not live to
// write down it sees again in its next life, and that is no duplicate.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tools/torturer/journal.hpp"

namespace millrace::torture {

struct Evidence {
  std::vector<Record> log;  // kinds seen and damaged, in the order of the log, which begins at offset 0
  std::map<std::uint32_t, std::vector<Record>> publishers;  // by slot
  // By name. Followers (shared memory at levels recorded and synced, and WebSocket clients) began at the earliest.
  std::map<std::string, std::vector<Record>> followers;
  std::map<std::string, std::vector<Record>> live;
};

struct Verdict {
  std::uint64_t acknowledged = 0;  // events that some publisher was told are synced
  std::uint64_t seen = 0;          // by all readers
  // Acknowledged and not in the log as acknowledged; missing between others of its publisher in the log; never seen by
  // a follower; not seen by a live reader that was told of no gap.
  std::uint64_t lost = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t reordered = 0;
  // Not what its publisher wrote there, or a live reader was shown it, was not told `retracted`, and the log has it
  // not.
  std::uint64_t damaged = 0;
  std::uint64_t told = 0;          // in gaps that live readers were told of
  std::vector<std::string> notes;  // a line for each thing that is wrong, the first of each kind and place

  [[nodiscard]] bool clean() const { return lost + duplicated + reordered + damaged == 0; }
};

[[nodiscard]] Verdict judge(const Evidence& evidence);

}  // namespace millrace::torture
