#include "tools/torturer/judge.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "tools/torturer/intervals.hpp"

namespace millrace::torture {
namespace {

// What the log holds, to be asked by offset and by publisher's life.
class LogIndex {
 public:
  explicit LogIndex(const std::vector<Record>& log) {
    for (const Record& record : log) {
      if (record.kind != Kind::seen) continue;
      runs_[record.offset] = record;
      lives_[{record.slot, record.life, record.base}].add(record.sequence, record.sequence + record.count);
      end_ = std::max(end_, record.offset + record.count);
    }
  }

  [[nodiscard]] std::uint64_t end() const { return end_; }
  // How many of the run's events the log holds at the very offsets.
  [[nodiscard]] std::uint64_t same(const Record& run) const {
    std::uint64_t found = 0;
    auto at = runs_.upper_bound(run.offset);
    if (at != runs_.begin()) --at;
    for (; at != runs_.end() && at->first < run.offset + run.count; ++at) {
      const Record& logged = at->second;
      const std::uint64_t begin = std::max(logged.offset, run.offset);
      const std::uint64_t end = std::min(logged.offset + logged.count, run.offset + run.count);
      if (begin >= end || logged.slot != run.slot || logged.life != run.life || logged.base != run.base) continue;
      if (logged.sequence + (begin - logged.offset) != run.sequence + (begin - run.offset)) continue;
      found += end - begin;
    }
    return found;
  }
  // How many of [from, to), published by that life, the log holds anywhere.
  [[nodiscard]] std::uint64_t holds(const Record& life, std::uint64_t from, std::uint64_t to) const {
    const auto at = lives_.find({life.slot, life.life, life.base});
    return at == lives_.end() ? 0 : at->second.count(from, to);
  }

 private:
  std::map<std::uint64_t, Record> runs_;
  std::map<std::tuple<std::uint32_t, std::uint64_t, std::uint64_t>, Intervals> lives_;
  std::uint64_t end_ = 0;
};

class Judge {
 public:
  explicit Judge(const Evidence& evidence) : evidence_(evidence), log_(evidence.log) {}

  [[nodiscard]] Verdict run() {
    judge_log();
    for (const auto& [slot, records] : evidence_.publishers) judge_publisher(slot, records);
    for (const auto& [name, records] : evidence_.followers) judge_follower(name, records);
    for (const auto& [name, records] : evidence_.live) judge_live(name, records);
    return std::move(verdict_);
  }

 private:
  void wrong(std::uint64_t& counter, std::uint64_t count, const std::string& where, const std::string& what) {
    if (count == 0) return;
    counter += count;
    verdict_.notes.push_back(where + ": " + std::to_string(count) + " " + what);
  }
  void tally(const Arrivals& arrivals, const std::string& where) {
    wrong(verdict_.lost, arrivals.lost(), where, "missing");
    wrong(verdict_.duplicated, arrivals.duplicated(), where, "duplicated");
    wrong(verdict_.reordered, arrivals.reordered(), where, "out of order");
  }

  // Offsets without a gap; each publisher's sequences from 1 without a gap; its lives one after the other.
  void judge_log() {
    Arrivals offsets(0);
    std::map<std::uint32_t, Arrivals> sequences;
    std::map<std::uint32_t, std::uint64_t> lives;
    std::uint64_t damaged = 0, backwards = 0;
    for (const Record& record : evidence_.log) {
      offsets.take(record.offset, record.count);
      if (record.kind == Kind::damaged) {
        damaged += record.count;
        continue;
      }
      sequences.try_emplace(record.slot, 1).first->second.take(record.sequence, record.count);
      std::uint64_t& life = lives[record.slot];
      if (record.life < life) backwards += record.count;
      life = std::max(life, record.life);
    }
    tally(offsets, "log, offsets");
    for (const auto& [slot, arrivals] : sequences) tally(arrivals, "log, publisher " + std::to_string(slot));
    wrong(verdict_.damaged, damaged, "log", "that no publisher wrote");
    wrong(verdict_.reordered, backwards, "log", "of an earlier life of a publisher behind those of a later one");
  }

  // What the bus told a publisher is synced stands in the log, published by this life of it.
  void judge_publisher(std::uint32_t slot, const std::vector<Record>& records) {
    std::map<std::uint64_t, Record> last;  // acknowledgement of each life
    for (const Record& record : records) {
      if (record.kind == Kind::acknowledged) last[record.life] = record;
    }
    std::uint64_t lost = 0;
    for (const auto& [life, record] : last) {
      const std::uint64_t count = record.sequence + 1 - record.base;
      verdict_.acknowledged += count;
      lost += count - log_.holds(record, record.base, record.sequence + 1);
    }
    wrong(verdict_.lost, lost, "publisher " + std::to_string(slot), "acknowledged and not in the log");
  }

  void judge_follower(const std::string& name, const std::vector<Record>& records) {
    Arrivals offsets(0);
    std::uint64_t damaged = 0;
    for (const Record& record : records) {
      if (record.kind != Kind::seen && record.kind != Kind::damaged) continue;
      offsets.take(record.offset, record.count);
      verdict_.seen += record.count;
      damaged += record.kind == Kind::damaged ? record.count : record.count - log_.same(record);
    }
    offsets.close(log_.end());
    tally(offsets, name);
    wrong(verdict_.damaged, damaged, name, "that are not what the log has there");
  }

  // Begins anywhere in each of its lives; from there each publisher's events in order, but for what it was told of.
  void judge_live(const std::string& name, const std::vector<Record>& records) {
    std::map<std::uint32_t, Arrivals> sequences;
    std::map<std::tuple<std::uint32_t, std::uint64_t, std::uint64_t>, Intervals> unrecorded;
    std::uint64_t damaged = 0;
    const auto end_life = [&] {
      for (const auto& [slot, arrivals] : sequences) tally(arrivals, name + ", publisher " + std::to_string(slot));
      sequences.clear();
    };
    for (const Record& record : records) {
      const std::uint64_t end = record.sequence + record.count;
      switch (record.kind) {
        case Kind::started:
          end_life();
          break;
        case Kind::seen:
          verdict_.seen += record.count;
          sequences.try_emplace(record.slot, record.sequence).first->second.take(record.sequence, record.count);
          if (log_.holds(record, record.sequence, end) < record.count) {
            unrecorded[{record.slot, record.life, record.base}].add(record.sequence, end);
          }
          break;
        case Kind::gap: {
          verdict_.told += record.count;
          Arrivals& arrivals = sequences.try_emplace(record.slot, record.sequence).first->second;
          if (record.sequence >= arrivals.next()) {
            arrivals.excuse(record.sequence, record.count);
          } else {  // it had seen them: retracted
            arrivals.rewind(record.sequence);
            for (auto& [life, shown] : unrecorded) {
              if (std::get<0>(life) == record.slot) shown.remove(record.sequence, end);
            }
          }
          break;
        }
        case Kind::damaged:
          damaged += record.count;
          break;
        default:
          break;
      }
    }
    end_life();
    wrong(verdict_.damaged, damaged, name, "that no publisher wrote");
    std::uint64_t shown = 0;
    for (const auto& [life, events] : unrecorded) {
      Record of;
      std::tie(of.slot, of.life, of.base) = life;
      shown += events.size() - overlap(of, events);
    }
    wrong(verdict_.damaged, shown, name, "shown, in no log, and not told as retracted");
  }

  [[nodiscard]] std::uint64_t overlap(const Record& life, const Intervals& events) const {
    std::uint64_t found = 0;
    events.each([&](std::uint64_t from, std::uint64_t to) { found += log_.holds(life, from, to); });
    return found;
  }

  const Evidence& evidence_;
  LogIndex log_;
  Verdict verdict_;
};

}  // namespace

Verdict judge(const Evidence& evidence) {
  return Judge(evidence).run();
}

}  // namespace millrace::torture
