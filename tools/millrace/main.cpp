// millrace: looks into a bus and its logs, reads from it and publishes to it.
#include <csignal>

#include "tools/millrace/command_line.hpp"

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is seen where we write
  return millrace::cli::run(argc, argv);
}
