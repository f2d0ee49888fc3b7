// Seals are a door: whatever bytes stand in `.seal` files, verify_seals() comes to an end without a crash, and calls
// nothing right but seals of what the segments hold; and sealing what comes behind them goes on or says why not.
//
// Input: a byte of options, then what they say. Bits 0 and 1 choose the segment. Bits 2 and 3 choose its seal: 0: the
// input's bytes; 1: the right one, edited: 2 bytes each, where and what to xor; 2: that with its checksum made right,
// and with bit 4 its chain value too; 3: none, or with bit 4 that of the next segment. With bit 5 the seal is the last
// one, and the next segment is sealed behind it.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "bus/base/assert.hpp"
#include "wal/chain.hpp"
#include "wal/fault_file_system.hpp"
#include "wal/seals.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

constexpr std::size_t segments = 4;

class World {
 public:
  World() {
    auto writer = begin(files_, small_segments(16384));
    while (segment_paths(files_).size() <= segments) MILLRACE_ASSERT(add_synced(*writer, 10), "");
    chain_ = list_chain(files_, "t").value();
    for (std::size_t i = 0; i < segments; ++i) {
      seal(i);
      right_.push_back(*read_seal(files_, "t", chain_[i].name));
    }
    const SealReport report = verify_seals(files_, "t").value();
    MILLRACE_ASSERT(report.wrong.empty() && report.sealed == segments && report.chain.size() == segments, "");
  }

  void run(Bytes input) {
    const auto options = std::to_integer<unsigned>(input[0]);
    const std::size_t i = options & 3;
    put(i, options, input.subspan(1));
    const bool last = (options & 32) != 0;
    for (std::size_t behind = i + 1; last && behind < segments; ++behind) (void)files_.unlink(path(behind));
    look(i);
    if (last && i + 1 < segments && seal(i + 1)) {
      const auto before = read_seal(files_, "t", chain_[i].name);
      const auto made = read_seal(files_, "t", chain_[i + 1].name);
      MILLRACE_ASSERT(made && made->content == right_[i + 1].content && made->chain == chain_of(*made), "");
      MILLRACE_ASSERT(!before || made->previous_chain == before->chain, "it is chained to the one before");
    }
    for (std::size_t each = i; each < segments; ++each) restore(each);
  }

 private:
  [[nodiscard]] std::string path(std::size_t i) const { return join("t", to_seal_name(chain_[i].name)); }
  bool seal(std::size_t i) {
    const Link& link = chain_[i];
    const auto work =
        begin_seal({&files_, "t", link.name, link.log_id, *link.end, chain_[i + 1].name.first_offset, {}});
    for (;;) {
      const auto step = work->step();
      if (!step) MILLRACE_ASSERT(step.error().code == ErrorCode::corrupt, "only a damaged seal is refused");
      if (!step) return false;
      if (step->done) return true;
    }
  }
  void write(std::size_t i, Bytes bytes) {
    MILLRACE_ASSERT(files_.bytes_of(path(i)) != nullptr || files_.create(path(i)), "");
    files_.bytes_of(path(i))->assign(bytes.begin(), bytes.end());
  }
  void restore(std::size_t i) { write(i, std::as_bytes(std::span(&right_[i], 1))); }

  void put(std::size_t i, unsigned options, Bytes input) {
    const unsigned how = options >> 2 & 3;
    const bool more = (options & 16) != 0;
    if (how == 0) return write(i, input);
    if (how == 3) {
      (void)files_.unlink(path(i));
      if (more) write(i, std::as_bytes(std::span(&right_[(i + 1) % segments], 1)));
      return;
    }
    Seal seal = right_[i];
    const auto bytes = std::as_writable_bytes(std::span(&seal, 1));
    for (; input.size() >= 2; input = input.subspan(2)) {
      bytes[std::to_integer<std::size_t>(input[0]) % bytes.size()] ^= input[1];
    }
    if (how == 2 && more) seal.chain = chain_of(seal);
    if (how == 2) seal.checksum = checksum_of(Bytes(bytes).subspan(checksummed_from));
    write(i, bytes);
  }

  void look(std::size_t i) {
    const auto report = verify_seals(files_, "t");
    MILLRACE_ASSERT(report, "the log is good, so all of it can be read");
    MILLRACE_ASSERT(report->sealed <= segments && report->chain.size() <= segments, "");
    for (const Digest& value : report->chain)
      MILLRACE_ASSERT(is_of_a_seal(value), "no seal's word for another's value");
    if (!report->wrong.empty()) return;
    const auto seal = read_seal(files_, "t", chain_[i].name);
    if (!seal) {
      MILLRACE_ASSERT(files_.bytes_of(path(i)) == nullptr, "a damaged seal is named");
      return;
    }
    const Seal& right = right_[i];
    MILLRACE_ASSERT(seal->content == right.content && seal->end == right.end && seal->log_id == right.log_id &&
                        seal->segment == right.segment && seal->first_offset == right.first_offset &&
                        seal->chain == chain_of(*seal),
                    "nothing but what the segment holds is called right");
    // What the oldest one says of the seal before, nobody here can tell (but then its own value is another, too); of
    // the others everybody.
    MILLRACE_ASSERT(i == 0 || seal->chain == right.chain, "and nothing but what it is chained to");
  }
  bool is_of_a_seal(const Digest& value) {
    return std::any_of(chain_.begin(), chain_.end(), [&](const Link& link) {
      const auto seal = read_seal(files_, "t", link.name);
      return seal && seal->chain == value;
    });
  }

  FaultFileSystem files_;
  std::vector<Link> chain_;
  std::vector<Seal> right_;
};

}  // namespace
}  // namespace millrace::wal

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static millrace::wal::World world;
  if (size > 0) world.run(std::as_bytes(std::span(data, size)));
  return 0;
}
