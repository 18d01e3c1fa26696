import 'reflect-metadata';
import { Controller, type ExecutionContext, Get, Module, Next, Req, Res, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NextFunction, Request, Response } from 'express';
import { webSockets } from 'websocket-context';

const sockets = webSockets();

const room = sockets.handler(async (socket, req) => {
  for await (const message of socket) await socket.sendAsync(`${req.params.id}: ${message}`);
});

class KeyGuard {
  canActivate(context: ExecutionContext): boolean {
    return context.switchToHttp().getRequest<Request>().query.key === 'secret'; // otherwise 403, before the handshake
  }
}

@Controller('rooms')
class RoomsController {
  @Get(':id')
  @UseGuards(KeyGuard)
  room(@Req() req: Request, @Res() res: Response, @Next() next: NextFunction): void {
    room(req, res, next);
  }
}

@Module({ controllers: [RoomsController] })
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: ['error'] });
export const server = app.getHttpServer();
sockets.attach(server, app.getHttpAdapter().getInstance());
await app.listen(process.env.PORT ?? 8080);
