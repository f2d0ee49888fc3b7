// A stock iceoryx program, as anybody may write one: takes the ring of a stream and looks at its first words.
//   stock_reader TOPIC STREAM
// Prints "took BYTES WORD", then "saw WORD" once the second word is not zero: written after the ring was published.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <iceoryx_posh/mepoo/chunk_header.hpp>
#include <iceoryx_posh/popo/untyped_subscriber.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>

#include "bus/base/idle.hpp"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  iox::runtime::PoshRuntime::initRuntime("stock_reader");
  iox::popo::SubscriberOptions options;
  options.historyRequest = 1;
  iox::popo::UntypedSubscriber subscriber({"millrace", iox::capro::IdString_t(iox::cxx::TruncateToCapacity, argv[1]),
                                           iox::capro::IdString_t(iox::cxx::TruncateToCapacity, argv[2])},
                                          options);
  millrace::BackOffIdle idle;
  const void* ring = nullptr;
  while (ring == nullptr) {
    subscriber.take().and_then([&](const void* payload) { ring = payload; });
    idle.idle(ring != nullptr);
  }
  const auto* words = static_cast<const std::atomic<std::uint64_t>*>(ring);
  std::printf("took %u %lu\n", iox::mepoo::ChunkHeader::fromUserPayload(ring)->userPayloadSize(), words[0].load());
  std::fflush(stdout);
  while (words[1].load() == 0) idle.idle(0);
  std::printf("saw %lu\n", words[1].load());
  std::fflush(stdout);
  subscriber.release(ring);
}
