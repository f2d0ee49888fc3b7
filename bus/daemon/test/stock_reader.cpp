// A stock iceoryx program, as anybody may write one: takes the ring of a stream and looks at its first words.
//   stock_reader TOPIC STREAM [FRAMES]
// Without FRAMES it looks at the first words: prints "took BYTES WORD", then "saw WORD" once the second word is not
// zero, written after the ring was published. With FRAMES it reads so many from a ring that a core runs, with
// millrace's ring reader, and prints "read SEQUENCE" of the last; they are to follow each other. It has no lease: it
// may be lapped.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iceoryx_posh/mepoo/chunk_header.hpp>
#include <iceoryx_posh/popo/untyped_subscriber.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>

#include "bus/base/frame.hpp"
#include "bus/base/idle.hpp"
#include "bus/ring/reader.hpp"

namespace {

using namespace millrace;

int read_frames(const void* payload, std::uint64_t wanted) {
  const std::size_t bytes = iox::mepoo::ChunkHeader::fromUserPayload(payload)->userPayloadSize();
  // Ring is written for processes that may write; a Reader only reads.
  const auto ring = ring::Ring::attach({static_cast<std::byte*>(const_cast<void*>(payload)), bytes});
  if (!ring) return std::fprintf(stderr, "%s\n", ring.error().message.c_str()), 1;
  ring::Word lease{0};
  ring::Reader reader(*ring, lease);
  BackOffIdle idle;
  Sequence last;
  for (std::uint64_t count = 0; count < wanted;) {
    const auto available = reader.available();
    FrameCursor frames(available);
    while (const auto frame = frames.next()) {
      if (frame->sequence() != last.next()) return std::fprintf(stderr, "a gap after %lu\n", last.value()), 1;
      last = frame->sequence();
      ++count;
    }
    reader.consume(available.size());
    idle.idle(available.size());
  }
  std::printf("read %lu\n", last.value());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  iox::runtime::PoshRuntime::initRuntime("stock_reader");
  iox::popo::SubscriberOptions options;
  options.historyRequest = 1;
  iox::popo::UntypedSubscriber subscriber({"millrace", iox::capro::IdString_t(iox::cxx::TruncateToCapacity, argv[1]),
                                           iox::capro::IdString_t(iox::cxx::TruncateToCapacity, argv[2])},
                                          options);
  BackOffIdle idle;
  const void* ring = nullptr;
  while (ring == nullptr) {
    subscriber.take().and_then([&](const void* payload) { ring = payload; });
    idle.idle(ring != nullptr);
  }
  if (argc > 3) return read_frames(ring, std::strtoull(argv[3], nullptr, 10));
  const auto* words = static_cast<const std::atomic<std::uint64_t>*>(ring);
  std::printf("took %u %lu\n", iox::mepoo::ChunkHeader::fromUserPayload(ring)->userPayloadSize(), words[0].load());
  std::fflush(stdout);
  while (words[1].load() == 0) idle.idle(0);
  std::printf("saw %lu\n", words[1].load());
  std::fflush(stdout);
  subscriber.release(ring);
}
